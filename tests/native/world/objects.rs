//! The objects that watch the services, in memory: what each keeps, and its alarm, which the test
//! fires.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use chitty_core::Service;
use chittyconnect::app::App;
use chittyconnect::ecosystem::watch::{Command, Host};
use seams::objects::{ObjectStore, Objects};

use super::yield_now;

#[derive(Default)]
pub(crate) struct TestObjects {
    /// The gateway's code in the objects' own isolate.
    pub(crate) app: RefCell<Option<Rc<App>>>,
    stores: RefCell<BTreeMap<Service, Rc<TestStore>>>,
    /// Whether they answer: most tests are not about them.
    pub(crate) awake: Cell<bool>,
    pub(crate) asked: RefCell<Vec<(Service, String)>>,
}

#[derive(Default)]
pub(crate) struct TestStore {
    pub(crate) text: RefCell<Option<String>>,
    pub(crate) alarm_ms: Cell<Option<u64>>,
}

impl TestObjects {
    pub(crate) fn store(&self, service: Service) -> Rc<TestStore> {
        Rc::clone(self.stores.borrow_mut().entry(service).or_default())
    }

    fn app(&self) -> Rc<App> {
        self.app.borrow().clone().expect("the world has set it")
    }

    /// Fires the alarm of a service if it is due.
    pub(crate) async fn fire_due(&self, service: Service) {
        let (store, app) = (self.store(service), self.app());
        if store.alarm_ms.get().is_some_and(|at| at <= app.now_ms()) {
            store.alarm_ms.set(None);
            Host { app: &app, store: &*store, service }.alarm().await.unwrap();
        }
    }
}

#[async_trait(?Send)]
impl Objects for TestObjects {
    async fn ask(&self, service: Service, command: &str) -> Result<String, String> {
        if !self.awake.get() {
            return Ok("{}".to_owned());
        }
        self.asked.borrow_mut().push((service, command.to_owned()));
        let command = Command::parse(command).ok_or("no such command")?;
        let (store, app) = (self.store(service), self.app());
        let status = Host { app: &app, store: &*store, service }.command(command).await?;
        Ok(serde_json::to_string(&status).unwrap())
    }
}

#[async_trait(?Send)]
impl ObjectStore for TestStore {
    async fn load(&self) -> Result<Option<String>, String> {
        Ok(self.text.borrow().clone())
    }

    async fn save(&self, text: &str) -> Result<(), String> {
        *self.text.borrow_mut() = Some(text.to_owned());
        yield_now().await;
        Ok(())
    }

    async fn set_alarm(&self, at_ms: Option<u64>) -> Result<(), String> {
        self.alarm_ms.set(at_ms);
        Ok(())
    }
}
