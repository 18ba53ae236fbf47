//! Rate limits: so many requests a minute for an actor, or for an address where there is no actor yet.
//!
//! Every isolate counts for itself, and asks the platform's limiter, which counts for a whole
//! location. Reads ask it only once the actor is busy in this isolate, so that a quiet actor's read
//! costs nothing extra; everything else asks at once. Credentials that nobody knows here count for the
//! address that sent them.
//!
//! Whatever was counted says in its headers what is left ([`Budget`]).
//!
//! The platform's bindings have fixed limits ([`Step`]), so a limit is made of the largest step that
//! fits, spread over as many keys as it takes: 600 is six keys of 100. It is rounded up to that.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use http_kit::budget::{Budget, WINDOW_MS};
use http_kit::problem::Problem;
use http_kit::request::Request;
use seams::kv::Kv;
use seams::limiter::{Limiter, Step};
use seams::log;

use crate::access::caller::identity::Caller;
use crate::access::rates::{Class, Overrides, Rates};
use crate::app::{App, Settings, Slot};

/// From which part of its limit on an actor is busy.
const BUSY_PART: u32 = 10;

/// How many subjects an isolate counts at most. At some 150 bytes each this stays below a megabyte.
const MAX_SUBJECTS: usize = 4096;

/// The most keys that one limit is spread over; with the largest step it is 100,000 a minute.
const MAX_KEYS: u32 = 10;

struct Window {
    from_ms: u64,
    count: u32,
    /// The limiter has said no: until the window ends it is not asked again.
    is_spent: bool,
}

/// What this isolate has counted, and what it counts with.
pub struct Limits {
    rates: Rates,
    limiter: Option<Rc<dyn Limiter>>,
    overrides: Option<Rc<dyn Kv>>,
    windows: RefCell<BTreeMap<(Class, String), Window>>,
}

impl Slot for Limits {
    fn new(app: &App) -> Self {
        Limits::with(*Rates::of(app), app.limiter.clone(), app.rate_limit.clone())
    }
}

/// What the isolate's own count says.
enum Count {
    /// So few that nobody needs to be asked.
    Few,
    /// The limiter decides; this is the number of the request in its window.
    Ask(u32),
    /// Too many.
    Over,
}

impl Limits {
    /// Counts with these means; without a limiter each isolate counts for itself alone.
    pub fn with(
        rates: Rates,
        limiter: Option<Rc<dyn Limiter>>,
        overrides: Option<Rc<dyn Kv>>,
    ) -> Self {
        Limits { rates, limiter, overrides, windows: RefCell::default() }
    }

    /// What an operator has set for an actor. Asked when a credential is looked at afresh, so at most
    /// once a minute and isolate.
    pub async fn overrides(&self, actor: &str) -> Overrides {
        let Some(kv) = &self.overrides else { return Overrides::default() };
        let text = match kv.get(&format!("actor:{actor}")).await {
            Ok(text) => text,
            Err(error) => {
                log::warn("rate_limit_overrides_failed", &[("error", &error)]);
                None
            }
        };
        let Some(text) = text else { return Overrides::default() };
        serde_json::from_str(&text).unwrap_or_else(|_| {
            log::warn("rate_limit_override_unreadable", &[("actor", actor)]);
            Overrides::default()
        })
    }

    /// Counts a request of an actor.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub async fn of_actor(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        class: Class,
    ) -> Result<(), Problem> {
        let limit = caller.limits().rate(class).unwrap_or_else(|| self.rates.of_class(class));
        self.count(request, class, Cow::Borrowed(caller.answers_for()), limit).await
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub async fn of_address(&self, request: &Request<'_>, class: Class) -> Result<(), Problem> {
        let limit = self.rates.of_class(class);
        if limit == 0 {
            return Ok(());
        }
        let sender = match address(request) {
            Some(address) => address,
            None => {
                // All of these together, so that making up names buys no end of budgets. In this isolate
                // only: what it costs is this isolate's.
                let all = limit.saturating_mul(UNADDRESSED_SENDERS);
                let (count, budget) = self.count_here(class, UNADDRESSED, all, request.now_ms);
                if let Count::Over = count {
                    return Err(refuse(request, budget));
                }
                unaddressed(request)
            }
        };
        self.count(request, class, Cow::Owned(sender), limit).await
    }

    /// Refuses an address that has had all of its window already, as far as this isolate knows. Counts
    /// nothing and asks nobody.
    ///
    /// # Errors
    /// 429.
    pub fn unless_spent(&self, request: &Request<'_>, class: Class) -> Result<(), Problem> {
        let limit = self.rates.of_class(class);
        let sender = Limits::sender(request);
        let windows = self.windows.borrow();
        let Some(window) = windows.get(&(class, sender)).filter(|_| limit > 0) else {
            return Ok(());
        };
        let age_ms = request.now_ms.abs_diff(window.from_ms);
        match age_ms < WINDOW_MS && (window.is_spent || window.count >= limit) {
            true => {
                let left_ms = WINDOW_MS - age_ms;
                Err(refuse(request, Budget { class: class.as_str(), limit, left: 0, left_ms }))
            }
            false => Ok(()),
        }
    }

    /// Counts in this isolate what has cost it far more than a request: so that ten of them are all that
    /// an address has.
    pub fn charge_tenth(&self, request: &Request<'_>, class: Class) {
        let limit = self.rates.of_class(class);
        if limit == 0 {
            return;
        }
        let sender = Limits::sender(request);
        let (_, mut budget) = self.count_here(class, &sender, limit, request.now_ms);
        let more = limit.div_ceil(10).saturating_sub(1);
        if let Some(window) = self.windows.borrow_mut().get_mut(&(class, sender)) {
            window.count = window.count.saturating_add(more);
        }
        budget.left = budget.left.saturating_sub(more);
        request.budget.set(Some(budget));
    }

    /// By what requests of a sender count together.
    pub fn sender(request: &Request<'_>) -> String {
        address(request).unwrap_or_else(|| unaddressed(request))
    }

    async fn count(
        &self,
        request: &Request<'_>,
        class: Class,
        subject: Cow<'_, str>,
        limit: u32,
    ) -> Result<(), Problem> {
        if limit == 0 {
            // Nothing is left of another limit that counted before: this one has no end.
            request.budget.set(None);
            return Ok(());
        }
        let (count, budget) = self.count_here(class, &subject, limit, request.now_ms);
        request.budget.set(Some(budget));
        let number = match count {
            Count::Few => return Ok(()),
            Count::Over => return Err(budget.refusal()),
            Count::Ask(number) => number,
        };
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let (step, keys) = made_of(limit);
        let key = format!("{}:{subject}:{}", class.as_str(), number % keys);
        match limiter.allows(step, &key).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                // With several keys another one may have something left.
                if keys == 1
                    && let Some(window) =
                        self.windows.borrow_mut().get_mut(&(class, subject.into_owned()))
                {
                    window.is_spent = true;
                }
                Err(refuse(request, budget.spent()))
            }
            // A limiter that fails must not be what keeps everybody out.
            Err(error) => {
                log::warn("rate_limiter_failed", &[("error", &error)]);
                Ok(())
            }
        }
    }

    /// Counts in this isolate; also says what is left of the window.
    fn count_here(&self, class: Class, subject: &str, limit: u32, now_ms: u64) -> (Count, Budget) {
        let mut windows = self.windows.borrow_mut();
        let is_over = |window: &Window| now_ms.abs_diff(window.from_ms) >= WINDOW_MS;
        if windows.len() >= MAX_SUBJECTS {
            windows.retain(|_, window| !is_over(window));
        }
        if windows.len() >= MAX_SUBJECTS {
            windows.pop_first();
        }
        let window = windows.entry((class, subject.to_owned())).or_insert(Window {
            from_ms: now_ms,
            count: 0,
            is_spent: false,
        });
        if is_over(window) {
            *window = Window { from_ms: now_ms, count: 0, is_spent: false };
        }
        window.count = window.count.saturating_add(1);
        let left_ms = WINDOW_MS - now_ms.abs_diff(window.from_ms);
        let count = if window.is_spent || window.count > limit {
            Count::Over
        } else if class == Class::Read && window.count <= limit / BUSY_PART {
            Count::Few
        } else {
            Count::Ask(window.count)
        };
        let left = if window.is_spent { 0 } else { limit.saturating_sub(window.count) };
        (count, Budget { class: class.as_str(), limit, left, left_ms })
    }
}

/// The refusal of a request that finds nothing left; its headers say so.
fn refuse(request: &Request<'_>, budget: Budget) -> Problem {
    request.budget.set(Some(budget));
    budget.refusal()
}

/// The step of which a limit is made, and over how many keys.
fn made_of(limit: u32) -> (Step, u32) {
    let fits = |step: &&Step| step.per_minute() <= limit;
    let step = Step::ALL.iter().rev().find(fits).copied().unwrap_or(Step::Ten);
    (step, limit.div_ceil(step.per_minute()).clamp(1, MAX_KEYS))
}

/// Who sent a request, as far as the network knows: an IPv4 address, or the half of an IPv6 address
/// that is one household's or one server's (RFC 6177). Cloudflare sets the header, over whatever
/// the client sent.
fn address(request: &Request<'_>) -> Option<String> {
    match request.header("cf-connecting-ip")?.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V6(address) => Some(match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}")
            }
        }),
        std::net::IpAddr::V4(address) => Some(address.to_string()),
    }
}

/// What all requests without an address count for together.
const UNADDRESSED: &str = "unaddressed";

/// How many times the limit of one sender all senders without an address have together.
const UNADDRESSED_SENDERS: u32 = 10;

/// Who sent a request that has no address: nobody on the Internet, for whom Cloudflare sets it, but
/// another Worker of the account, over a service binding. By what it calls itself, so that one of them
/// does not keep the others out.
fn unaddressed(request: &Request<'_>) -> String {
    let said = ["cf-worker", "x-source-service", "user-agent"].map(|name| request.header(name));
    let mut hash = seams::ids::sha256_hex(&format!("{said:?}"));
    hash.truncate(16);
    format!("{UNADDRESSED}/{hash}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_made_of_steps() {
        for (limit, step, keys) in [
            (1, Step::Ten, 1),
            (10, Step::Ten, 1),
            (11, Step::Ten, 2),
            (99, Step::Ten, 10),
            (600, Step::Hundred, 6),
            (1200, Step::Thousand, 2),
            (60_000, Step::TenThousand, 6),
            (u32::MAX, Step::TenThousand, 10),
        ] {
            assert_eq!(made_of(limit), (step, keys), "{limit}");
        }
    }

    proptest! {
        #[test]
        fn steps_never_make_less_than_the_limit_nor_twice_as_much(limit in 10u32..=100_000) {
            let (step, keys) = made_of(limit);
            let made = step.per_minute() * keys;
            prop_assert!(limit <= made && made < 2 * limit, "{} of {}", made, limit);
        }

        #[test]
        fn an_isolate_never_lets_more_through_than_the_limit(
            limit in 1u32..50,
            pauses in proptest::collection::vec(0u64..20_000, 1..200),
        ) {
            let limits = Limits::with(Rates([0; 7]), None, None);
            let mut now_ms = 1_000_000;
            let mut passed: Vec<u64> = Vec::new();
            for pause in pauses {
                now_ms += pause;
                let (count, budget) = limits.count_here(Class::Read, "a", limit, now_ms);
                prop_assert!(budget.left_ms <= WINDOW_MS && budget.left_ms > 0);
                prop_assert!(budget.left < limit);
                if !matches!(count, Count::Over) {
                    passed.push(now_ms);
                }
            }
            // Windows begin with their first request, so any minute touches two at most.
            for from in &passed {
                let within = passed.iter().filter(|at| (*from..from + WINDOW_MS).contains(at));
                prop_assert!(within.count() <= 2 * limit as usize);
            }
        }
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let limits = Limits::with(Rates([0; 7]), None, None);
        for n in 0..10_000 {
            limits.count_here(Class::Authenticate, &n.to_string(), 10, 1000);
        }
        assert!(limits.windows.borrow().len() <= MAX_SUBJECTS);
    }
}
