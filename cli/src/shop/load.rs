//! How is a load made: some clients that keep their connection, and some that open one for each request?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::client::{CallError, Client, Connection, Target};
use super::director::TELL_EVERY;
use super::words::{Load, News};

/// Clients of each sort.
const CLIENTS: usize = 3;
/// Between two requests of a client: a steady load, not a flood.
const PAUSE: Duration = Duration::from_millis(10);

/// Makes requests until aborted, and tells how it goes.
pub(crate) async fn load(client: &Client, number: u64, url: &str) {
    let counted = Arc::new(Mutex::new(Load { number, ..Load::default() }));
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(error) => {
            let first_error = Some(error.to_string());
            let failed = Load { number, errors: 1, first_error, ended: true, ..Load::default() };
            return client.teller.tell(&News::Load(failed));
        }
    };
    // Aborted with this task.
    let mut clients = JoinSet::new();
    for index in 0..2 * CLIENTS {
        let (client, target, counted) = (client.clone(), target.clone(), counted.clone());
        clients.spawn(async move { one(&client, &target, index < CLIENTS, &counted).await });
    }
    loop {
        let now = lock(&counted).clone();
        client.teller.tell(&News::Load(now));
        tokio::time::sleep(TELL_EVERY).await;
    }
}

async fn one(client: &Client, target: &Target, keep: bool, counted: &Mutex<Load>) {
    let mut kept = None;
    loop {
        let connection = kept.take();
        match request(client, target, connection, keep, counted).await {
            Ok(connection) => {
                lock(counted).requests += 1;
                kept = connection;
            }
            Err(error) => {
                let mut counted = lock(counted);
                counted.errors += 1;
                counted.first_error.get_or_insert_with(|| error.to_string());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn request(
    client: &Client,
    target: &Target,
    connection: Option<Connection>,
    keep: bool,
    counted: &Mutex<Load>,
) -> Result<Option<Connection>, Problem> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => {
            let opened = Connection::open(target).await?;
            lock(counted).connections += 1;
            opened
        }
    };
    let response = connection.request(client.request("GET", target, keep)).await?;
    let status = response.status();
    response.into_body().collect().await.map_err(CallError::Ended)?;
    if !status.is_success() {
        return Err(Problem::Status(status.as_u16()));
    }
    Ok(keep.then_some(connection))
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("answered with status {0}")]
    Status(u16),
}

fn lock(counted: &Mutex<Load>) -> std::sync::MutexGuard<'_, Load> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}
