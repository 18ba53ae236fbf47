//! Access control: authentication, permissions, rate limits and quotas; and what every handler
//! uses: routes, replies, lists and idempotency keys.

pub mod caller;
pub mod change;
pub mod creation;
pub mod event;
pub mod idempotency;
pub mod limits;
pub mod listing;
pub mod quota;
pub mod quota_kind;
pub mod rates;
pub mod reply;
pub mod route;
pub mod service_name;
