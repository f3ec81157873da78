//! Plans: given this observation, what next.

mod golden;
mod plans;
mod world;
