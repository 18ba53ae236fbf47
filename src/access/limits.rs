//! Rate limits: how many requests a minute an actor may send, or an address as long as the actor is
//! not known.
//!
//! Every isolate counts for itself, and asks the platform's limiter, which counts for a whole
//! location. It asks about each request that its own count allows, except for reads while the actor
//! is not busy in this isolate, so that a quiet actor's read costs nothing extra. A credential that
//! the isolate does not know counts for the address that sent it.
//!
//! The reply to a request that was counted says in its headers how much is left ([`Budget`]).
//!
//! The platform's bindings have fixed limits ([`Step`]). A limit is therefore made of the largest
//! step that fits, spread over as many keys as are needed: 600 is six keys of 100. It is rounded up
//! to a multiple of the step.

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

/// The divisor that says when an actor is busy: above a tenth of its limit in the window.
const BUSY_PART: u32 = 10;

/// The most subjects that an isolate counts. At some 150 bytes each, they stay below a megabyte.
const MAX_SUBJECTS: usize = 4096;

/// The most keys over which one limit is spread; with the largest step that is 100,000 requests a minute.
const MAX_KEYS: u32 = 10;

struct Window {
    from_ms: u64,
    count: u32,
    /// The platform's limiter has refused a request: it is not asked again until the window ends.
    is_spent: bool,
}

/// The limits, and what this isolate has counted against them.
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

/// The result of the isolate's own count.
enum Count {
    /// So few requests that the limiter need not be asked.
    Few,
    /// The limiter decides; this is the number of the request in its window.
    Ask(u32),
    /// Too many requests.
    Over,
}

impl Limits {
    /// Makes limits with nothing counted yet. Without a limiter, only the isolate's own count
    /// limits requests.
    pub fn with(
        rates: Rates,
        limiter: Option<Rc<dyn Limiter>>,
        overrides: Option<Rc<dyn Kv>>,
    ) -> Self {
        Limits { rates, limiter, overrides, windows: RefCell::default() }
    }

    /// Reads the limits that an operator has set for an actor. Called when a credential is
    /// authenticated anew, so usually at most once a minute for a credential in an isolate. If they
    /// cannot be read, the usual limits apply.
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
    /// 429 if there were too many.
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
    /// 429 if there were too many.
    pub async fn of_address(&self, request: &Request<'_>, class: Class) -> Result<(), Problem> {
        let limit = self.rates.of_class(class);
        if limit == 0 {
            return Ok(());
        }
        let sender = match address(request) {
            Some(address) => address,
            None => {
                // All senders without an address also share one limit, so that inventing names does not
                // give unlimited requests. It is counted in this isolate only, which alone bears the cost.
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

    /// Refuses an address that has used up its window, as far as this isolate knows. Neither counts
    /// the request nor asks the limiter.
    ///
    /// # Errors
    /// 429 if it has.
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

    /// Counts a request that costs this isolate far more than usual as a tenth of the address's
    /// limit, so that an address has ten of them a minute. Counts in this isolate only.
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

    /// Returns the name under which the requests of one sender are counted: its address, if it has one.
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
            // This class has no limit: the reply must not show the budget of another class that was
            // counted before.
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
        let (step, keys) = steps_of(limit);
        let key = format!("{}:{subject}:{}", class.as_str(), number % keys);
        match limiter.allows(step, &key).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                // With several keys, another key may have something left.
                if keys == 1
                    && let Some(window) =
                        self.windows.borrow_mut().get_mut(&(class, subject.into_owned()))
                {
                    window.is_spent = true;
                }
                Err(refuse(request, budget.with_none_left()))
            }
            // A limiter that fails must not lock every caller out.
            Err(error) => {
                log::warn("rate_limiter_failed", &[("error", &error)]);
                Ok(())
            }
        }
    }

    /// Counts a request in this isolate. Also returns what is left of the window.
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

/// Returns the 429 for a request when nothing is left, and has the reply's headers say so.
fn refuse(request: &Request<'_>, budget: Budget) -> Problem {
    request.budget.set(Some(budget));
    budget.refusal()
}

/// Returns the step of which a limit is made, and the number of keys over which it is spread.
fn steps_of(limit: u32) -> (Step, u32) {
    let fits = |step: &&Step| step.per_minute() <= limit;
    let step = Step::ALL.iter().rev().find(fits).copied().unwrap_or(Step::Ten);
    (step, limit.div_ceil(step.per_minute()).clamp(1, MAX_KEYS))
}

/// Returns the address that sent a request: an IPv4 address, or the first 64 bits of an IPv6
/// address, which belong to one household or one server (RFC 6177). Cloudflare sets the header and
/// replaces whatever the client sent.
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

/// The subject for which all requests without an address are counted together.
const UNADDRESSED: &str = "unaddressed";

/// The limit of all senders without an address together, as a multiple of one sender's limit.
const UNADDRESSED_SENDERS: u32 = 10;

/// Returns a name for the sender of a request without an address. Cloudflare sets the address of
/// every request from the Internet, so this one comes from another Worker of the account over a
/// service binding. The name is a hash of what the Worker calls itself, so that one Worker does not
/// use up the limit of the others.
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
            assert_eq!(steps_of(limit), (step, keys), "{limit}");
        }
    }

    proptest! {
        #[test]
        fn steps_never_make_less_than_the_limit_nor_twice_as_much(limit in 10u32..=100_000) {
            let (step, keys) = steps_of(limit);
            let made = step.per_minute() * keys;
            prop_assert!(limit <= made && made < 2 * limit, "{} of {}", made, limit);
        }

        #[test]
        fn an_isolate_never_lets_more_through_than_the_limit(
            limit in 1u32..50,
            pauses in proptest::collection::vec(0u64..20_000, 1..200),
        ) {
            let limits = Limits::with(Rates([0; 8]), None, None);
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
    fn the_number_of_counted_subjects_is_bounded() {
        let limits = Limits::with(Rates([0; 8]), None, None);
        for n in 0..10_000 {
            limits.count_here(Class::Authenticate, &n.to_string(), 10, 1000);
        }
        assert!(limits.windows.borrow().len() <= MAX_SUBJECTS);
    }
}
