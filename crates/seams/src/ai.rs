//! The seam to the runtime's language models: the binding `AI`, which a deployment may lack.

use async_trait::async_trait;

/// Runs a model.
#[async_trait(?Send)]
pub trait Ai {
    /// Asks a model for a text of at most `max_tokens`. `Err` holds the platform's message. The caller sets
    /// the deadline.
    async fn complete(
        &self,
        model: &str,
        instructions: &str,
        input: &str,
        max_tokens: u32,
    ) -> Result<String, String>;
}
