//! The seam to the static files that are deployed beside the program.

use async_trait::async_trait;

use crate::inbound::RuntimeBody;

/// The static files.
#[async_trait(?Send)]
pub trait Assets {
    /// Returns the file at a path such as `/docs/viewer.js`, which stays in the runtime's memory. `Err` holds
    /// the platform's message, or says that there is no such file.
    async fn read(&self, path: &str) -> Result<Box<dyn RuntimeBody>, String>;
}
