//! The daemon: puts the parts together, runs until it is told to stop.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use intergroup_redis::Files;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

use crate::bundle::Bundle;
use crate::config::{Config, Dir, write_private};
use crate::listen::{self, Service};
use crate::pki::{self, Authority, ServerCertificate};
use crate::store::place::Place;
use crate::{admin, engine};

/// How often the server's certificate is looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(12 * 3600);

/// Makes a center: its authority, its server certificate, its store and, last, its configuration.
///
/// # Errors
/// The directory holds a center already, a value makes no sense, or the disk's.
pub fn init(dir: &Dir, config: &Config, files: &Files) -> Result<()> {
    config.check()?;
    dir.create()?;
    let now_s = engine::now().0.div_euclid(1000);
    // A first try that broke off has left an authority that nobody knows yet.
    let authority = Authority::create(dir, &config.name, now_s)?;
    ServerCertificate::open(dir, &authority, config.hosts(), now_s)?;
    files.copy_into(&dir.0, write_private)?;
    let place = Place::of(dir, config)?;
    if let Place::Embedded(path) = &place {
        // An empty file is an empty database; its companions get the same rights as it has.
        write_private(path, &[])?;
    }
    drop(place.open().context("making the store")?);
    place.belongs_to(&authority.fingerprint())?;
    config.write(dir)
}

/// Makes another node of a center out of its bundle. The store must be there: a node that cannot reach it is not made.
///
/// # Errors
/// As [`init`].
pub fn join(dir: &Dir, bundle: &Bundle, config: &Config) -> Result<()> {
    config.check()?;
    dir.create()?;
    bundle.unpack(dir)?;
    let authority = Authority::load(dir)?;
    ServerCertificate::open(dir, &authority, config.hosts(), engine::now().0.div_euclid(1000))?;
    let place = Place::of(dir, config)?;
    drop(place.open().context("opening the store that nodes share")?);
    place.belongs_to(&authority.fingerprint())?;
    config.write(dir)
}

/// Runs the center until SIGTERM or SIGINT.
///
/// # Errors
/// Something that it needs cannot be had; says what to do.
pub async fn serve(dir: &Dir) -> Result<()> {
    let config = Config::load(dir)?;
    let _lock = lock(dir)?;
    let now_s = || engine::now().0.div_euclid(1000);
    let authority = Authority::load(dir)?;
    let certificate = Arc::new(ServerCertificate::open(dir, &authority, config.hosts(), now_s())?);
    let mut entropy = [0; 32];
    if SystemRandom::new().fill(&mut entropy).is_err() {
        bail!("the system gives no random numbers");
    }
    let place = Place::of(dir, &config)?;
    place.belongs_to(&authority.fingerprint())?;
    let engine = engine::start(place, config.hub(entropy), config.dialled().to_vec())?;
    let tls = Arc::new(pki::server_config(&authority, certificate.clone())?);
    let service = Arc::new(Service { engine, authority, tls });

    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    admin::serve(dir, config.name.clone(), service.clone())?;
    listen::listen(service.clone(), &config.listen).await?;
    let mut look = interval(CERTIFICATE_EVERY);
    loop {
        tokio::select! {
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
            _ = look.tick() => {
                if let Err(error) = certificate.renew(&service.authority, now_s()) {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the server's certificate could not be re-made; the present one stays");
                }
            }
        }
    }
    tracing::info!("shutting down");
    service.engine.stop().await;
    // Commands find no daemon any more.
    let _ = fs::remove_file(dir.socket());
    Ok(())
}

/// Only one daemon may own a store.
fn lock(dir: &Dir) -> Result<fs::File> {
    let path = dir.lock();
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!("a center is running in {} already", dir.0.display()),
        Err(fs::TryLockError::Error(e)) => Err(e).with_context(|| format!("locking {}", path.display())),
    }
}
