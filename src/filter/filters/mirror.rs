//! Which requests are copied, and whereto (`HTTPRequestMirrorFilter`).

use crate::model::{self, BackendId};

/// A compiled mirror.
#[derive(Debug)]
pub struct Mirror {
    /// Where the copies go.
    pub backend: BackendId,
    numerator: u32,
    denominator: u32,
}

impl Mirror {
    /// Compiles; a share of more than all is a problem.
    pub(super) fn compile(mirror: &model::Mirror, problems: &mut Vec<String>) -> Self {
        let model::Mirror { backend, numerator, denominator } = mirror.clone();
        if denominator == 0 || numerator > denominator {
            problems.push(format!("mirror of {numerator} in {denominator} requests"));
        }
        Self { backend, numerator, denominator: denominator.max(1) }
    }

    /// Whether a request is copied.
    pub fn draw(&self) -> bool {
        self.numerator >= self.denominator || rand::random_range(0..self.denominator) < self.numerator
    }
}

#[cfg(test)]
mod tests {
    use super::Mirror;
    use crate::model::{self, BackendId};

    fn compiled(numerator: u32, denominator: u32) -> (Mirror, usize) {
        let backend = BackendId { namespace: "n".into(), service: "s".into(), port: 80 };
        let mut problems = Vec::new();
        (Mirror::compile(&model::Mirror { backend, numerator, denominator }, &mut problems), problems.len())
    }

    #[test]
    fn the_share_is_drawn_per_request() {
        let drawn = |numerator, denominator| (0..4_000).filter(|_| compiled(numerator, denominator).0.draw()).count();
        assert_eq!((drawn(0, 100), drawn(100, 100), drawn(7, 7)), (0, 4_000, 4_000));
        // More than six standard deviations on either side.
        assert!((600..=1_000).contains(&drawn(20, 100)) && (1_200..=1_600).contains(&drawn(35, 100)));
    }

    #[test]
    fn more_than_all_is_a_problem() {
        assert_eq!((compiled(1, 0).1, compiled(3, 2).1, compiled(2, 2).1), (1, 1, 0));
    }
}
