//! The wire: golden files, their schema, properties of the codec, and the documents made from its tables.

mod agreement;
mod documents;
mod golden;
mod properties;
mod samples;
mod schema;
