//! How are requests sent through the waypoint, one or many, and each seen through to what its log says of it?

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::event::{self, Event};
use super::ledger::Book;
use super::request::{self, Request};
use super::stage::Stage;
use crate::shop::words::{Call, Order, request_id};

/// How long requests and the waypoint's word on them may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// Requests that are under way at once.
const TOGETHER: usize = 20;
/// An edit must be in force by then.
pub(crate) const IN_FORCE: Duration = Duration::from_secs(5);
/// Who asks.
pub(crate) const CLIENT: &str = "web";

impl Stage {
    /// Sends a request and shows it.
    pub(crate) async fn ask(&self, url: &str, token: Option<&str>) -> anyhow::Result<Request> {
        let request = self.quiet_ask(url, token).await?;
        event::tell(&Event::Request(request.clone()));
        Ok(request)
    }

    /// As [`Self::ask`], without showing anything.
    pub(crate) async fn quiet_ask(&self, url: &str, token: Option<&str>) -> anyhow::Result<Request> {
        self.batch(url, token, 1).await?.pop().context("a request without an outcome")
    }

    /// Sends `count` requests, some at once, without showing anything.
    pub(crate) async fn ask_often(&self, url: &str, count: usize) -> anyhow::Result<Vec<Request>> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.batch(url, None, TOGETHER.min(count - all.len())).await?);
        }
        Ok(all)
    }

    /// Sends requests until one is as `is_so` wants it; gives that one, and how long it took. None when none was.
    pub(crate) async fn ask_until(
        &self,
        url: &str,
        is_so: impl Fn(&Request) -> bool,
    ) -> anyhow::Result<Option<(Request, Duration)>> {
        let since = Instant::now();
        while since.elapsed() < IN_FORCE {
            let request = self.quiet_ask(url, None).await?;
            if is_so(&request) {
                return Ok(Some((request, since.elapsed())));
            }
        }
        Ok(None)
    }

    async fn batch(&self, url: &str, token: Option<&str>, count: usize) -> anyhow::Result<Vec<Request>> {
        let mut numbers = HashSet::new();
        for _ in 0..count {
            let number = self.number();
            numbers.insert(number);
            let (method, url, token) = ("GET".to_owned(), url.to_owned(), token.map(str::to_owned));
            self.order(CLIENT, Order::Call { number, method, url, token })?;
        }
        let (mut calls, mut requests): (Vec<(String, Call)>, Vec<Request>) = Default::default();
        let complete = |book: &mut Book| {
            let ours = |call: &mut Call| call.number.is_some_and(|number| numbers.contains(&number));
            let answered = book.calls.extract_if(.., ours).filter_map(|call| Some((call.number?, call)));
            calls.extend(answered.map(|(number, call)| (request_id(CLIENT, number), call)));
            calls.retain(|(id, call)| match request::take(call, id, &mut book.told) {
                Some(request) => {
                    requests.push(request);
                    false
                }
                None => true,
            });
            (requests.len() == count).then(|| std::mem::take(&mut requests))
        };
        let what = format!("the waypoint's word on {CLIENT} asking {url}");
        Ok(self.ledger.until(&what, PATIENCE, complete).await?)
    }
}
