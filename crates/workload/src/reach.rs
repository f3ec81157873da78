//! What was learned from somewhere that may not answer.

use serde::{Deserialize, Serialize};

/// An answer, or why there is none. Not an error: a pass goes on with what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach<T> {
    /// The answer.
    Yes(T),
    /// Why there is none, in words for a condition.
    No(String),
}

impl<T> Reach<T> {
    /// The answer, changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reach<U> {
        match self {
            Self::Yes(answer) => Reach::Yes(change(answer)),
            Self::No(why) => Reach::No(why),
        }
    }

    /// The answer, if there is one.
    pub fn yes(&self) -> Option<&T> {
        match self {
            Self::Yes(answer) => Some(answer),
            Self::No(_) => None,
        }
    }

    /// Why there is no answer.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Yes(_) => None,
            Self::No(why) => Some(why),
        }
    }

    /// For an act, which cannot go on without the answer.
    pub fn required(self) -> anyhow::Result<T> {
        match self {
            Self::Yes(answer) => Ok(answer),
            Self::No(why) => Err(anyhow::anyhow!(why)),
        }
    }
}
