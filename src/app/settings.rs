//! What one folder goes by of the configuration: read when it is first asked for, kept with what was
//! missing or senseless of it.

use std::any::Any;

use crate::app::{App, Slot};
use crate::config::{Config, Deficiency, Reader};

/// What a folder goes by.
pub trait Settings: Any + Sized {
    /// Reads and checks it. Where something is missing or senseless, it is noted, and the default counts.
    fn read(config: &Config, reader: &mut Reader) -> Self;

    /// The isolate's.
    fn of(app: &App) -> &Self {
        &ReadSettings::<Self>::of(app).settings
    }

    /// What of it is missing or senseless.
    fn deficiencies(app: &App) -> &[Deficiency] {
        &ReadSettings::<Self>::of(app).deficiencies
    }
}

/// Settings, with what is missing of them.
struct ReadSettings<T> {
    settings: T,
    deficiencies: Vec<Deficiency>,
}

impl<T: Settings> Slot for ReadSettings<T> {
    fn new(app: &App) -> Self {
        let mut reader = app.config.reader();
        let settings = T::read(&app.config, &mut reader);
        ReadSettings { settings, deficiencies: reader.into_deficiencies() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::rc::Rc;

    use super::Settings;
    use crate::config::{Binding, Config, Deficiency};

    /// Settings as they are with some variables set, and what is missing or senseless of them.
    pub(crate) fn settings<T: Settings>(pairs: &[(&str, &str)]) -> (T, Vec<Deficiency>) {
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = Config::read(Rc::new(move |name| {
            let found = pairs.iter().find(|(key, _)| key == name);
            found.map_or(Binding::Absent, |(_, value)| Binding::Text(value.clone()))
        }));
        let mut reader = config.reader();
        let settings = T::read(&config, &mut reader);
        (settings, reader.into_deficiencies())
    }
}
