//! Whether a request is served, for programs.

use std::str::FromStr;

use super::{Answer, Trace};

/// What becomes of a request, in one word; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is forwarded, redirected, or answered as a preflight.
    Served,
    /// The edge answers it with a status below 500, such as 404.
    Refused,
    /// The edge answers it with a status from 500 on, or some of its like.
    Failed,
    /// The client gets no answer: no connection, or no TLS handshake.
    Unanswered,
}

/// What a request is expected to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is forwarded, whichever endpoint it falls to.
    Forwarded,
    /// The edge answers it with this status, whichever backend it falls to.
    Status(u16),
    /// It gets no answer.
    Unanswered,
}

/// The text names no answer of an edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither forwarded, nor none, nor a status from 100 to 599")]
pub struct ExpectedError(String);

impl FromStr for Expected {
    type Err = ExpectedError;

    fn from_str(text: &str) -> Result<Self, ExpectedError> {
        match text {
            "forwarded" => Ok(Self::Forwarded),
            "none" => Ok(Self::Unanswered),
            other => match other.parse() {
                Ok(status @ 100..=599) => Ok(Self::Status(status)),
                _ => Err(ExpectedError(other.to_owned())),
            },
        }
    }
}

impl Trace {
    /// What becomes of the request, of all its like the worst.
    pub fn outcome(&self) -> Outcome {
        let of_status = |status: u16| if status < 500 { Outcome::Refused } else { Outcome::Failed };
        match &self.answer {
            Answer::Status { status, .. } => of_status(*status),
            Answer::Closed { .. } | Answer::Unreachable { .. } => Outcome::Unanswered,
            Answer::Redirect { .. } | Answer::Preflight { .. } => Outcome::Served,
            Answer::Forward { .. } => self.failures().flatten().map(of_status).max().unwrap_or(Outcome::Served),
        }
    }

    /// Whether the request meets what is expected, and all its like do.
    pub fn meets(&self, expected: Expected) -> bool {
        match (&self.answer, expected) {
            (Answer::Forward { .. }, Expected::Forwarded) => self.failures().all(|failure| failure.is_none()),
            (Answer::Forward { .. }, Expected::Status(wanted)) => self.failures().all(|failure| failure == Some(wanted)),
            (
                Answer::Status { status, .. } | Answer::Redirect { status, .. } | Answer::Preflight { status, .. },
                Expected::Status(wanted),
            ) => *status == wanted,
            (Answer::Closed { .. } | Answer::Unreachable { .. }, Expected::Unanswered) => true,
            _ => false,
        }
    }

    /// For each backend reference that gets requests: the status with which they fail, if they do.
    fn failures(&self) -> impl Iterator<Item = Option<u16>> {
        self.shares().iter().filter(|share| share.weight > 0).map(|share| share.fails.as_ref().map(|fails| fails.status))
    }
}
