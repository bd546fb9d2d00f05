//! A world to test in: the whole bundle on real parts, where every message is delivered twice and the
//! table lags and conflicts, and where nothing is forgotten at the end.

mod logs;
mod world;

pub use world::{World, assigned_to};
