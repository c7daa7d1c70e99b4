//! Delivery of events to webhooks.
//!
//! Each target has a task of its own, so that one that does not answer holds up no other. It takes the oldest events for
//! its target, a page at a time, and posts them: those of one key one after another, those of different keys at once. An
//! event is forgotten when the target has said 2xx, so one may be told twice, by a process that was killed in between.
//! Of several processes one tells a target at a time.
//!
//! **Invariant:** an event is not posted before every older one of its key and target was taken or given up. Given up is
//! what is older than a day, what is among more than a million, and what a target refuses again and again; the log says
//! so each time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::catalog::Event;
use crate::config::TargetConfig;
use crate::config::limits::{
    EVENT_AGE_SECONDS_MAX, EVENT_PAGE_ROWS, EVENT_PAUSE_SECONDS_MAX, EVENT_POST_SECONDS_MAX, EVENT_POSTS_AT_ONCE,
    EVENT_REFUSALS_MAX, EVENTS_KEPT_MAX,
};
use crate::model::time::{Clock, Timestamp};
use crate::store::error::{Error, Result};
use crate::store::gateways::Turn;
use crate::store::{SERVICE, Store};

/// Between two looks for events.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Looks between two that ask for events that are too old.
const LOOKS_BETWEEN_TIDYING: u32 = 300;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The target has it.
    Taken,
    /// It does not want it.
    Refused,
    /// It does not answer, or not now.
    Unheard,
}

/// One target with the connection to it.
struct Line<'a> {
    store: &'a Store,
    target: &'a TargetConfig,
    client: reqwest::Client,
    /// How often events at the head of their keys were refused; only of the page at hand.
    refusals: HashMap<i64, u32>,
}

impl Store {
    /// Whether there is a target of this name.
    #[must_use]
    pub fn has_target(&self, name: &str) -> bool {
        self.0.targets.iter().any(|target| target.name == name)
    }

    /// Delivers events until `stop`.
    pub async fn keep_telling(&self, stop: CancellationToken) {
        let client = match client() {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "events are kept and not delivered");
                return;
            }
        };
        let lines = self.0.targets.iter().map(|target| {
            let line = Line { store: self, target, client: client.clone(), refusals: HashMap::new() };
            line.run(stop.clone())
        });
        let tidy = self.forget_old_events(stop.clone());
        tokio::join!(futures_util::future::join_all(lines), tidy);
    }

    async fn forget_old_events(&self, stop: CancellationToken) {
        let mut look = 0u32;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            look = look.wrapping_add(1);
            if !look.is_multiple_of(LOOKS_BETWEEN_TIDYING) {
                continue;
            }
            let age = i64::try_from(EVENT_AGE_SECONDS_MAX).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
            let before = Timestamp(Clock::now().0.saturating_sub(age));
            match self.catalog().forget_events(&SERVICE, before, EVENTS_KEPT_MAX).await {
                Ok(0) => {}
                Ok(count) => tracing::warn!(count, "events that nobody took are given up"),
                Err(error) => tracing::warn!(%error, "old events could not be forgotten"),
            }
        }
    }
}

impl Line<'_> {
    async fn run(mut self, stop: CancellationToken) {
        let mut pause = LOOK_INTERVAL;
        let (store, mut turn) = (self.store, Turn::at(format!("events {}", self.target.name)));
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let Some(told) = stop.run_until_cancelled(store.in_turn(&mut turn, self.tell_page())).await else { return };
            pause = match told {
                None | Some(Ok(true)) => LOOK_INTERVAL,
                Some(Ok(false)) => (pause * 2).min(Duration::from_secs(EVENT_PAUSE_SECONDS_MAX)),
                Some(Err(error)) => {
                    tracing::warn!(target = self.target.name, %error, "events could not be read");
                    (pause * 2).min(Duration::from_secs(EVENT_PAUSE_SECONDS_MAX))
                }
            };
        }
    }

    /// Tells the oldest events. False if something was not taken, so that it is better to wait.
    async fn tell_page(&mut self) -> Result<bool> {
        let page = self.store.catalog().events(&SERVICE, &self.target.name, EVENT_PAGE_ROWS).await?;
        self.refusals.retain(|id, _| page.iter().any(|event| event.id == *id));
        let mut keys: BTreeMap<_, Vec<Event>> = BTreeMap::new();
        for event in page {
            keys.entry((event.event.bucket, event.event.key.clone())).or_default().push(event);
        }
        let this = &*self;
        let tellings = futures_util::stream::iter(keys.into_values()).map(|events| this.tell_key(events));
        let told: Vec<_> = tellings.buffer_unordered(EVENT_POSTS_AT_ONCE).collect().await;
        let (mut all, mut refused) = (true, Vec::new());
        for key in told {
            match key? {
                None => {}
                Some((id, told)) => {
                    all = false;
                    refused.extend((told == Told::Refused).then_some(id));
                }
            }
        }
        self.give_up(refused).await?;
        Ok(all)
    }

    /// Tells the events of one key, up to the first that is not taken, which is returned.
    async fn tell_key(&self, events: Vec<Event>) -> Result<Option<(i64, Told)>> {
        for Event { id, event } in events {
            match self.post(event.text).await {
                Told::Taken => self.store.catalog().events_done(&SERVICE, &[id]).await.map_err(Error::from)?,
                told => return Ok(Some((id, told))),
            }
        }
        Ok(None)
    }

    /// Forgets those that were refused too often, so that what follows them is told.
    async fn give_up(&mut self, refused: Vec<i64>) -> Result<()> {
        for id in refused {
            let count = self.refusals.entry(id).or_default();
            *count += 1;
            if *count >= EVENT_REFUSALS_MAX {
                self.refusals.remove(&id);
                tracing::warn!(target = self.target.name, event = id, "an event is given up: the target refuses it");
                self.store.catalog().events_done(&SERVICE, &[id]).await?;
            }
        }
        Ok(())
    }

    async fn post(&self, text: String) -> Told {
        let mut request = self.client.post(&self.target.url).header("content-type", "application/json").body(text);
        if let Some(token) = &self.target.token {
            request = request.bearer_auth(token.expose());
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Told::Taken,
            Ok(answer) => {
                let status = answer.status().as_u16();
                tracing::debug!(target = self.target.name, status, "an event was not taken");
                // Refused for good is what the target blames on the event; all else may pass.
                if matches!(status, 400 | 405 | 406 | 410 | 411 | 413..=417 | 422) {
                    Told::Refused
                } else {
                    Told::Unheard
                }
            }
            Err(error) => {
                // The address may hold a secret of the operator.
                let error = error.without_url();
                tracing::debug!(target = self.target.name, error = &error as &dyn std::error::Error, "no answer");
                Told::Unheard
            }
        }
    }
}

/// The client of all targets. It follows no redirect, by which a target could send it anywhere, and asks no proxy.
fn client() -> std::result::Result<reqwest::Client, reqwest::Error> {
    // Somebody else in this process may have chosen it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limit = Duration::from_secs(EVENT_POST_SECONDS_MAX);
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(limit)
        .timeout(limit)
        .pool_max_idle_per_host(EVENT_POSTS_AT_ONCE)
        .user_agent("Longshore")
        .build()
}
