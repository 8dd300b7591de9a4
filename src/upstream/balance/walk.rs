//! What comes after a first choice by hash: the other members, each once, in an order that the hash settles.
//! `maglev` and `ring` lay their members out in a circle; this goes around it.

/// Goes around a circle of members, from some place in it, and names each member once.
#[derive(Debug, Clone)]
pub struct Walk<C> {
    circle: C,
    members: usize,
    /// How many are in the circle and were not named yet.
    left: usize,
    first: Option<usize>,
    /// By member, whether it was named. Allocated when a second one is asked for, which few requests do.
    named: Vec<bool>,
}

impl<C: Iterator<Item = usize>> Walk<C> {
    /// `circle` names members, each less than `members`, and `present` different ones of them. The walk ends with the
    /// last of those, so that it does not look at the whole circle for one more.
    pub fn new(circle: C, members: usize, present: usize) -> Self {
        Self { circle, members, left: present, first: None, named: Vec::new() }
    }

    fn another(&mut self, first: usize) -> Option<usize> {
        if self.named.is_empty() {
            self.named = (0..self.members).map(|member| member == first).collect();
        }
        let named = &mut self.named;
        self.circle.find(|&member| !std::mem::replace(&mut named[member], true))
    }
}

impl<C: Iterator<Item = usize>> Iterator for Walk<C> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        if let Some(first) = self.first {
            return self.another(first);
        }
        self.first = self.circle.next();
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_member_once_in_the_circles_order() {
        let walk = Walk::new([2, 2, 0, 2, 4, 0].into_iter(), 5, 3);
        assert_eq!(walk.collect::<Vec<_>>(), [2, 0, 4]);
    }

    #[test]
    fn stops_with_the_last_that_is_present() {
        let endless = Walk::new([1, 0].into_iter().cycle(), 2, 2);
        assert_eq!(endless.collect::<Vec<_>>(), [1, 0]);
        assert_eq!(Walk::new(std::iter::empty(), 0, 0).next(), None);
    }
}
