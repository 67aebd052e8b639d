//! People with a full client (tokio-xmpp), for the scenarios and the demo: they join, speak, hear, and read archives.
//!
//! In: an account. Out: everything heard so far, and waits for what shall come. Never here: load (see the light clients in
//! `load`), anything of the product.

mod person;

pub use person::Person;
