//! ChittyConnect: the edge gateway of the ChittyOS ecosystem.
//!
//! This file holds the doors: the functions that the runtime calls. They wire the parts together and decide
//! nothing. A request passes `fetch` → [`edge`] → [`store::Ready`] → [`access::caller`] → the resource's
//! handler (such as [`contexts::handlers`]) → its store, and the reply goes the same way back. The doors
//! also hand the work that follows a reply to the runtime.

// The order of the layers, from the ground up: each module may import those above its line. The test
// `imports_point_down` reads it here.
pub mod sealing;
pub mod config;
pub mod app;
pub mod store;
pub mod access;
pub mod keys;
pub mod actors;
pub mod audit;
pub mod delegation;
pub mod events;
pub mod discovery;
pub mod connections;
pub mod identities;
pub mod contexts;
pub mod registration;
pub mod ecosystem;
pub mod orchestrations;
pub mod github;
pub mod metrics;
pub mod health;
pub mod openapi;
pub mod routes;
#[cfg(not(target_family = "wasm"))]
pub mod description;
pub mod edge;
pub mod tasks;
#[cfg(target_family = "wasm")]
pub(crate) mod workers;

/// The functions that the runtime calls.
#[cfg(target_family = "wasm")]
pub mod doors {
    use wasm_bindgen::prelude::wasm_bindgen;
    use worker::{Context, Env, ScheduleContext, ScheduledEvent, event};
    use worker::{web_sys, worker_sys};

    use crate::edge;
    use crate::workers::{self, inbound::WebRequest, queue, response};
    use crate::{routes, tasks};
    use seams::queue::Delivery;

    /// Prepares an isolate: the runtime calls this first.
    #[event(start)]
    fn start() {
        console_error_panic_hook::set_once();
        seams::log::send_to(workers::log);
    }

    /// Serves every HTTP request.
    #[event(fetch)]
    async fn fetch(
        request: web_sys::Request,
        env: Env,
        context: Context,
    ) -> worker::Result<web_sys::Response> {
        let app = workers::app(&env);
        let mut reply = edge::serve(&app, routes::table(), &WebRequest::new(request)).await;
        let after = std::mem::take(&mut reply.after);
        if !after.is_empty() {
            context.wait_until(async move { tasks::after_reply(&app, after).await });
        }
        response::of(reply)
    }

    /// Processes every batch of queue messages. Each message gets its own verdict, so this never fails: the
    /// runtime would apply an error to the whole batch. Exported by hand, because the `worker` crate's macro
    /// hides how often a message was delivered.
    #[wasm_bindgen]
    pub async fn queue(batch: worker_sys::MessageBatch, env: Env, context: worker_sys::Context) {
        let app = workers::app(&env);
        let context = Context::new(context);
        let deliveries = queue::deliveries(&batch);
        let deliveries: Vec<&dyn Delivery> =
            deliveries.iter().map(|delivery| delivery as &dyn Delivery).collect();
        let queue = batch.queue().map(String::from).unwrap_or_default();
        tasks::consume(&app, &queue, &deliveries).await;
        context.wait_until(tasks::after_batch(app));
    }

    /// Runs the work of every cron trigger.
    #[event(scheduled)]
    async fn scheduled(_: ScheduledEvent, env: Env, context: ScheduleContext) {
        let app = workers::app(&env);
        tasks::scheduled(&app).await;
        if let Some(work) = tasks::hand_over(app) {
            context.wait_until(work);
        }
    }
}
