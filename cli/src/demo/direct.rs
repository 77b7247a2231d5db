//! How are the pods' programs made to call each other, and how is each call seen through to what the proxies say of it?

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::ask;
use super::event::{self, Event};
use super::ledger::Book;
use super::plan::NODES;
use super::stage::Stage;
use super::verdict::{self, Row};
use crate::shop::words::{Call, Follow, Load, Order};

/// How long a call and the proxies' word on it may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long after the client's side of a failure the server's side may still come.
const OTHER_SIDE: Duration = Duration::from_secs(1);

impl Stage {
    /// Makes a pod's program call another and shows the call, and those that were made to answer it. The call itself
    /// comes first.
    pub(crate) async fn call(&self, from: &str, method: &str, url: &str) -> anyhow::Result<Vec<Row>> {
        let rows = self.quiet_call(from, method, url).await?;
        for row in &rows {
            event::tell(&Event::Row(row.clone()));
        }
        Ok(rows)
    }

    /// As [`Self::call`], for one call that needs no others.
    pub(crate) async fn one_call(&self, from: &str, method: &str, url: &str) -> anyhow::Result<Row> {
        self.call(from, method, url).await?.into_iter().next().context("a call without an outcome")
    }

    /// As [`Self::call`], without showing anything.
    pub(crate) async fn quiet_call(&self, from: &str, method: &str, url: &str) -> anyhow::Result<Vec<Row>> {
        let number = self.number();
        let (method, url) = (method.to_owned(), url.to_owned());
        let what = format!("the proxies' word on {from} calling {url}");
        self.order(from, Order::Call { number, method, url, token: None })?;
        let mut seen: Vec<(Call, Instant, Option<Row>)> = Vec::new();
        let complete = |book: &mut Book| {
            seen.extend(book.calls.drain(..).map(|call| (call, Instant::now(), None)));
            for (call, since, row) in seen.iter_mut().filter(|(_, _, row)| row.is_none()) {
                let patient = since.elapsed() < OTHER_SIDE;
                *row = verdict::unconnected(call).or_else(|| verdict::take(call, &mut book.lines, patient));
            }
            let asked = seen.iter().any(|(call, ..)| call.number == Some(number));
            let rows: Option<Vec<Row>> = seen.iter().map(|(_, _, row)| row.clone()).collect();
            rows.filter(|_| asked)
        };
        let mut rows = self.ledger.until(&what, PATIENCE, complete).await?;
        rows.sort_by_key(|row| row.nested);
        Ok(rows)
    }

    /// Makes a pod's program read an endless response; gives the number of the order.
    pub(crate) fn follow(&self, from: &str, url: &str) -> anyhow::Result<u64> {
        let number = self.number();
        self.order(from, Order::Follow { number, url: url.to_owned() })?;
        Ok(number)
    }

    /// Waits until an endless response is as `is_so` wants it.
    pub(crate) async fn followed(
        &self,
        number: u64,
        what: &str,
        is_so: impl Fn(&Follow) -> bool,
    ) -> anyhow::Result<Follow> {
        let found = |book: &mut Book| book.follows.get(&number).filter(|follow| is_so(follow)).cloned();
        Ok(self.ledger.until(what, PATIENCE, found).await?)
    }

    /// What the proxies say about an endless response that has ended.
    pub(crate) async fn verdict_on(
        &self,
        from: &str,
        to: &str,
        request: &str,
        follow: &Follow,
    ) -> anyhow::Result<Row> {
        let call = Call {
            number: Some(follow.number),
            from: from.to_owned(),
            to: to.to_owned(),
            request: request.to_owned(),
            local: follow.local,
            remote: None,
            outcome: Err(follow.ended.clone().unwrap_or_else(|| "goes on".to_owned())),
            bytes: 0,
            microseconds: 0,
        };
        let what = format!("the proxies' word on the connection of {from} to {to}");
        let since = Instant::now();
        let told = |book: &mut Book| verdict::take(&call, &mut book.lines, since.elapsed() < OTHER_SIDE);
        let row = self.ledger.until(&what, PATIENCE, told).await?;
        event::tell(&Event::Row(row.clone()));
        Ok(row)
    }

    /// Puts a pod's program to work; gives the number of the order.
    pub(crate) fn load(&self, from: &str, url: &str) -> anyhow::Result<u64> {
        let number = self.number();
        self.order(from, Order::Load { number, url: url.to_owned() })?;
        Ok(number)
    }

    /// Waits until a load is as `is_so` wants it.
    pub(crate) async fn loaded(
        &self,
        number: u64,
        what: &str,
        is_so: impl Fn(&Load) -> bool,
    ) -> anyhow::Result<Load> {
        let found = |book: &mut Book| book.loads.get(&number).filter(|load| is_so(load)).cloned();
        Ok(self.ledger.until(what, PATIENCE, found).await?)
    }

    /// Ends an endless response or a load.
    pub(crate) fn stop(&self, from: &str, number: u64) -> anyhow::Result<()> {
        self.order(from, Order::Stop { number })
    }

    /// The serial numbers of all certificates in use, by node and identity.
    pub(crate) async fn serials(
        &self,
    ) -> anyhow::Result<std::collections::BTreeMap<(String, String), String>> {
        let mut all = std::collections::BTreeMap::new();
        for node in &NODES {
            let dump = ask::dump(self.topology.namespace(node.name)?).await?;
            let serials = dump.serials().into_iter();
            all.extend(serials.map(|(identity, serial)| ((node.name.to_owned(), identity), serial)));
        }
        Ok(all)
    }

    pub(super) fn number(&self) -> u64 {
        self.next_order.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn order(&self, pod: &str, order: Order) -> anyhow::Result<()> {
        self.pods.get(pod).with_context(|| format!("there is no pod {pod}"))?.order(order);
        Ok(())
    }
}
