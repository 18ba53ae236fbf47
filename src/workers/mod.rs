//! Cloudflare's side of the seams. Besides the doors, only this folder names the `worker` crate. It catches
//! what JavaScript throws and turns it into the seams' own errors: an uncaught throw would end the whole wasm
//! instance.

pub(crate) mod ai;
pub(crate) mod assets;
pub(crate) mod d1;
pub(crate) mod fetch;
pub(crate) mod inbound;
pub(crate) mod kv;
pub(crate) mod limiter;
pub(crate) mod names;
pub(crate) mod objects;
pub(crate) mod queue;
pub(crate) mod response;
pub(crate) mod webcrypto;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use chitty_core::Clock;
use js_sys::Reflect;
use seams::db::Db;
use seams::ids;
use seams::kv::Kv;
use seams::log::Level;
use seams::queue::Queue;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;

use crate::app::{App, Build, Parts};
use crate::config::{Binding, Config, Lookup, service_binding};

thread_local! {
    static APP: RefCell<Option<Rc<App>>> = const { RefCell::new(None) };
}

/// The isolate's [`App`], made on its first event: an isolate's bindings never change.
pub(crate) fn app(env: &Env) -> Rc<App> {
    APP.with_borrow_mut(|app| app.get_or_insert_with(|| Rc::new(compose(env))).clone())
}

fn compose(env: &Env) -> App {
    let db = binding(env, "DB").map(|db| Rc::new(d1::D1::new(db)) as Rc<dyn Db>);
    let queue = |name| {
        binding(env, name).map(|queue| Rc::new(queue::Producer::new(queue)) as Rc<dyn Queue>)
    };
    let kv = |name| {
        binding::<kv::Namespace>(env, name).map(|namespace| Rc::new(namespace) as Rc<dyn Kv>)
    };
    let fetch = Rc::new(fetch::Fetch::new(|service| binding(env, &service_binding(service))));
    App::new(Parts {
        config: Config::read(configuration(env)),
        build: build(),
        db,
        context_ops: queue("CONTEXT_OPS_QUEUE"),
        github_events: queue("EVENT_Q"),
        api_keys: kv("API_KEYS"),
        cache: kv("CHITTYCONNECT_KV"),
        seen_deliveries: kv("IDEMP_KV"),
        tokens: kv("TOKEN_KV"),
        watches: env
            .durable_object("SERVICE_CONNECTION")
            .ok()
            .map(|namespace| Rc::new(objects::Watches(namespace)) as _),
        rate_limit: kv("RATE_LIMIT"),
        limiter: limiter::Counters::of(|name| binding(env, name))
            .map(|counters| Rc::new(counters) as _),
        es256: Rc::new(webcrypto::WebCrypto),
        rs256: Rc::new(webcrypto::WebCrypto),
        ai: binding::<ai::Models>(env, "AI").map(|models| Rc::new(models) as _),
        assets: binding(env, "ASSETS").map(|files| Rc::new(assets::StaticFiles(files)) as _),
        transport: Rc::clone(&fetch) as _,
        outside: fetch,
        clock: Rc::new(RuntimeClock),
    })
}

/// Reads from entry.mjs what the program was built from.
fn build() -> Build {
    let said = Reflect::get(&js_sys::global(), &JsValue::from_str("CHITTYCONNECT_BUILD")).ok();
    said.and_then(|said| said.as_string()).map(|said| Build::parse(&said)).unwrap_or_default()
}

/// Returns the function that looks up the configuration in an environment.
fn configuration(env: &Env) -> Lookup {
    let env = env.clone();
    Rc::new(move |name| look_up(&env, name))
}

fn look_up(env: &Env, name: &str) -> Binding {
    match value(env, name) {
        None => Binding::Absent,
        Some(value) => value.as_string().map_or(Binding::Resource, Binding::Text),
    }
}

/// Returns a resource binding, without a check of its type: wrangler.toml decides what it is.
fn binding<T: JsCast>(env: &Env, name: &str) -> Option<T> {
    value(env, name).filter(JsValue::is_object).map(JsCast::unchecked_into)
}

fn value(env: &Env, name: &str) -> Option<JsValue> {
    Reflect::get(env, &JsValue::from_str(name))
        .ok()
        .filter(|value| !value.is_undefined() && !value.is_null())
}

/// Writes a line of the log to the isolate's console.
pub(crate) fn log(level: Level, line: &str) {
    match level {
        Level::Error => worker::console_error!("{line}"),
        Level::Warn => worker::console_warn!("{line}"),
        Level::Info => worker::console_log!("{line}"),
    }
}

/// Returns the message of a thrown value, for logs.
fn thrown(value: &JsValue) -> String {
    match value.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => value.as_string().unwrap_or_else(|| "an unknown error".to_owned()),
    }
}

struct RuntimeClock;

#[async_trait(?Send)]
impl Clock for RuntimeClock {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "after 1970")]
    fn now_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    async fn sleep(&self, ms: u64) {
        worker::Delay::from(Duration::from_millis(ms)).await;
    }

    fn jitter(&self, bound: u32) -> u32 {
        ids::random_below(bound)
    }
}
