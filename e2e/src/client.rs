//! Clients, and the requests and tokens that they show: one that speaks bytes, one of HTTP/2, a browser, and libraries
//! of Python. Knows no scene: a client gets an address.

pub mod browser;
pub mod csrf;
pub mod http2;
pub mod python;
pub mod raw_client;
pub mod request;
pub mod token;

pub use raw_client::RawClient;
pub use request::Request;
pub use token::Signer;
