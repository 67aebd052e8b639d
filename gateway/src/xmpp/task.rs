//! Keeps the link up: one connection after the other, with growing, jittered pauses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;

use super::connection::{Connection, End, Times, open};
use super::session::Session;
use super::{Monitor, Order, Settings, State};
use crate::bridge::Event;

type Actions = mpsc::Receiver<Vec<Order>>;

/// The first pause; each further one is twice as long,
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that held so long ends the series.
const SOUND_CONNECTION: Duration = Duration::from_secs(10);

/// See [`super::run`].
pub(super) async fn keep_up(
    settings: &Settings,
    times: &Times,
    events: &mpsc::Sender<Vec<Event>>,
    actions: &mut Actions,
    monitor: &Monitor,
) {
    let mut session = Session::new(&settings.component, Instant::now());
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let opened = tokio::select! {
            opened = open(settings, times) => opened,
            () = drain(actions) => return,
        };
        let (up, end) = match opened {
            Ok(connection) => serve(connection, settings, times, &mut session, events, actions, monitor).await,
            Err(end) => (false, end),
        };
        let (told, stream_error) = match end {
            End::Stopped => return,
            End::Lost(told) => (told, None),
            End::Blamed(told) => {
                (format!("the server ended the component's stream ({told}). It is tried again."), Some(Arc::from(told)))
            }
        };
        tracing::warn!("{told}");
        monitor.set(State::Down(told));
        if up {
            tokio::select! {
                sent = events.send(vec![Event::ServerDown { stream_error }]) => {
                    if sent.is_err() {
                        return;
                    }
                }
                () = drain(actions) => return,
            }
            if began.elapsed() >= SOUND_CONNECTION {
                pause = FIRST_PAUSE;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => {}
            () = drain(actions) => return,
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

async fn serve(
    connection: Connection,
    settings: &Settings,
    times: &Times,
    session: &mut Session,
    events: &mpsc::Sender<Vec<Event>>,
    actions: &mut Actions,
    monitor: &Monitor,
) -> (bool, End) {
    let mut nonce = [0; 8];
    if SystemRandom::new().fill(&mut nonce).is_err() {
        return (false, End::Lost("the system gives no random numbers".to_owned()));
    }
    let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    session.begin(&nonce);
    connection.serve(settings, times, session, events, actions, monitor).await
}

/// Drops what was meant for a connection that is gone. Ends when we are to stop.
async fn drain(actions: &mut Actions) {
    while actions.recv().await.is_some() {}
}

/// Between half the pause and the whole: gateways that lost the same server do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without randomness the pause is only less spread.
    let _ = SystemRandom::new().fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / 255
}
