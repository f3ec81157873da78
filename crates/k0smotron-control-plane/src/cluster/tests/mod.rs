//! Plans: given this observation, what next.

mod golden;
mod model;
mod plans;
mod pruning;
mod told;
mod world;
