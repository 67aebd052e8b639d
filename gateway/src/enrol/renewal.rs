//! Renewal: the daemon asks for the next certificate while the present one is still good.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Identity, renew};
use crate::config::Dir;
use crate::link::Proxy;

use intergroup_schemas::link::Timestamp;

/// How often it is looked whether it is time, which is also how soon a failure is tried again.
const LOOK: Duration = Duration::from_secs(3600);

/// Keeps the certificate from ending, for ever. After each renewal the link is opened `again` with the new one.
pub async fn keep_renewed(dir: Dir, proxy: Option<Proxy>, again: Arc<Notify>) {
    loop {
        look(&dir, proxy.as_ref(), &again, Timestamp(chrono::Utc::now().timestamp_millis())).await;
        sleep(LOOK).await;
    }
}

async fn look(dir: &Dir, proxy: Option<&Proxy>, again: &Notify, now: Timestamp) {
    // Without an identity, or with a damaged one, the link says what to do.
    let Ok(Some(present)) = Identity::load(dir) else { return };
    if !present.is_due(now).unwrap_or(false) {
        return;
    }
    match renew(dir, &present, proxy).await {
        Ok(identity) => {
            tracing::info!("the certificate of {}/{} has been renewed", identity.enterprise, identity.gateway);
            again.notify_one();
        }
        Err(e) => tracing::warn!(
            "the certificate cannot be renewed: {e:#}; trying again in an hour. Should it end, enrol again: nothing is lost"
        ),
    }
}
