//! Where a center's store is: in its directory, or on a Redis.

use std::path::PathBuf;

use anyhow::Result;
use intergroup_redis::Settings;

use super::embedded::EmbeddedStore;
use super::redis::RedisStore;
use super::shared::Ear;
use super::{Store, StoreError};
use crate::config::{Config, Dir};

/// See the module.
#[derive(Debug, Clone)]
pub enum Place {
    /// A file.
    Embedded(PathBuf),
    /// A Redis.
    Redis(Box<Settings>),
}

impl Place {
    /// The one that the configuration names, with what lies in the directory for it.
    ///
    /// # Errors
    /// It is not an address, or a file of it cannot be read.
    pub fn of(dir: &Dir, config: &Config) -> Result<Self> {
        let Some(address) = &config.store else { return Ok(Place::Embedded(dir.store())) };
        Ok(Place::Redis(Box::new(Settings::in_dir(&dir.0, address)?)))
    }

    /// Whether other nodes may use the store at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Place::Redis(_))
    }

    /// What hears of other nodes' doings; none: there are none.
    #[must_use]
    pub fn ear(&self) -> Option<Box<dyn Ear>> {
        match self {
            Place::Embedded(_) => None,
            Place::Redis(settings) => Some(Box::new(RedisStore::ear(settings))),
        }
    }

    /// Opens the store for writing, or makes it.
    ///
    /// # Errors
    /// It cannot be used, or is not ours.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Place::Embedded(path) => Box::new(EmbeddedStore::open(path)?),
            Place::Redis(settings) => Box::new(RedisStore::open(settings)?),
        })
    }

    /// Whether a store that nodes share is of the center with this authority (SHA-256 of its certificate); one that is of nobody yet
    /// is from now on.
    ///
    /// # Errors
    /// It is another center's, or cannot be used.
    pub fn belongs_to(&self, authority: &[u8; 32]) -> Result<(), StoreError> {
        match self {
            Place::Embedded(_) => Ok(()),
            Place::Redis(settings) => RedisStore::look(settings)?.belongs_to(authority),
        }
    }

    /// Opens the store for writing after it failed.
    ///
    /// # Errors
    /// It still cannot be used.
    pub fn reopen(&self) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Place::Embedded(path) => {
                let mut store = EmbeddedStore::open(path)?;
                store.recover()?;
                Ok(Box::new(store))
            }
            Place::Redis(_) => self.open(),
        }
    }

    /// Opens a store that has been opened for writing for reading beside it.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open_reader(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Place::Embedded(path) => Box::new(EmbeddedStore::open_reader(path)?),
            Place::Redis(settings) => Box::new(RedisStore::look(settings)?),
        })
    }
}
