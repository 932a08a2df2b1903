//! Limits on what a file may cost before it is rejected: counts, which are the same on every machine, spent before
//! memory is allocated.

/// The number of items of one kind that a file may have.
pub(crate) struct Budget {
    what: &'static str,
    most: usize,
    left: usize,
}

impl Budget {
    /// At most `most` of `what`, a plural noun.
    pub(crate) fn new(what: &'static str, most: usize) -> Self {
        Self { what, most, left: most }
    }

    /// Spends `count` of them.
    ///
    /// # Errors
    /// An error message once the limit is exceeded.
    pub(crate) fn spend(&mut self, count: usize) -> Result<(), String> {
        let left = self.left.checked_sub(count);
        self.left = left.ok_or_else(|| format!("it has more than {} {}", self.most, self.what))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone() {
        let mut budget = Budget::new("tensors", 5);
        assert_eq!(budget.spend(3), Ok(()));
        assert_eq!(budget.spend(3), Err("it has more than 5 tensors".to_owned()));
        assert_eq!(budget.spend(2), Ok(()));
        assert!(budget.spend(1).is_err() && budget.spend(usize::MAX).is_err());
    }
}
