//! The seam to the static files that are deployed beside the program.

use async_trait::async_trait;

use crate::inbound::RuntimeBody;

/// The static files.
#[async_trait(?Send)]
pub trait Assets {
    /// The file at a path such as `/docs/viewer.js`, kept where the runtime keeps it. `Err` holds what the
    /// platform said, or that there is no such file.
    async fn read(&self, path: &str) -> Result<Box<dyn RuntimeBody>, String>;
}
