//! Chat (`chat.chitty.cc`), over REST.

use serde_json::{Value, json};

use crate::error::ServiceError;
use crate::retry::Repeat;
use crate::service::Service;
use crate::session::Session;
use crate::wire::{Call, Variant};

/// Client of Chat.
pub struct ChatClient<'a> {
    pub(crate) session: &'a Session,
}

impl ChatClient<'_> {
    /// Sends a context to the conversations about it, with `POST /api/v1/contexts/propagate`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn propagate_context(&self, context: &Value) -> Result<(), ServiceError> {
        let variant = Variant::post(Service::Chat, "/api/v1/contexts/propagate", context.clone());
        self.session.tell(Call::new("chat.propagate", Repeat::Never, vec![variant])).await
    }

    /// Posts a message to a channel with `POST /api/v1/messages`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn send_message(
        &self,
        chitty_id: &str,
        content: &str,
        channel: Option<&str>,
    ) -> Result<(), ServiceError> {
        let body = json!({ "content": content, "chittyId": chitty_id, "channel": channel });
        let variant = Variant::post(Service::Chat, "/api/v1/messages", body);
        self.session.tell(Call::new("chat.send_message", Repeat::Never, vec![variant])).await
    }
}
