//! The settings of one folder: read from the configuration at their first use, then kept in the isolate
//! together with their deficiencies.

use std::any::Any;

use crate::app::{App, Slot};
use crate::config::{Config, Deficiency, Reader};

/// The settings of one folder.
pub trait Settings: Any + Sized {
    /// Reads and checks the settings. Notes each missing or invalid value as a deficiency and uses its
    /// default.
    fn read(config: &Config, reader: &mut Reader) -> Self;

    /// Returns the settings of this isolate.
    fn of(app: &App) -> &Self {
        &ReadSettings::<Self>::of(app).settings
    }

    /// Returns the missing and invalid values among these settings.
    fn deficiencies(app: &App) -> &[Deficiency] {
        &ReadSettings::<Self>::of(app).deficiencies
    }
}

/// Settings with their deficiencies.
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

    /// Reads the settings with these variables set. Returns them with their deficiencies.
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
