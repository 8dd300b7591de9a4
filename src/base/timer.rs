//! A deadline that is cheap to move.
//!
//! Every read on the request path has a deadline, and nearly none of them is ever reached. Arming and disarming the
//! runtime's timer wheel for each would cost more than parsing a small request, so a [`Timer`] touches the wheel only
//! when its deadline moves *earlier* than what is armed, or when an armed moment passes and the deadline lies later.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// One movable deadline. Disarmed when new.
#[derive(Debug, Default)]
pub struct Timer {
    deadline: Option<Instant>,
    armed: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Moves the deadline to `duration` from now.
    pub fn set(&mut self, duration: Duration) {
        self.deadline = Some(Instant::now() + duration);
    }

    /// Moves the deadline.
    pub fn set_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Takes the deadline away. What is armed stays armed: a later `set` will use it.
    pub fn clear(&mut self) {
        self.deadline = None;
    }

    /// Gives the armed timer's memory back, for a connection that goes idle for long.
    pub fn disarm(&mut self) {
        self.deadline = None;
        self.armed = None;
    }

    /// Ready when the deadline has passed; otherwise the task is woken no later than then.
    ///
    /// A peer that always has something for us uses up what the runtime lets a task do at one time (tokio's budget), and no
    /// timer of the runtime fires behind that. Ours does: a deadline is for such peers above all.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = match &mut self.armed {
            Some(sleep) => sleep,
            None => self.armed.insert(Box::pin(sleep_until(deadline))),
        };
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while pin!(coop::unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// How long a peer has been silent while something was expected of it.
#[derive(Debug, Default)]
pub struct Silence {
    timer: Timer,
    has_begun: bool,
}

impl Silence {
    /// To be called when nothing could be done: ready when that has been so for `allowed`, since the first such call
    /// after the last progress.
    pub fn poll(&mut self, cx: &mut Context<'_>, allowed: Duration) -> Poll<()> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.timer.set(allowed);
        }
        self.timer.poll_expired(cx)
    }

    /// As [`Self::poll`], for a deadline that progress does not move.
    pub fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.timer.set_at(deadline);
        self.timer.poll_expired(cx)
    }

    /// There was progress; the next silence begins anew.
    pub fn end(&mut self) {
        self.has_begun = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn expires_at_the_deadline_that_was_set_last() {
        let mut timer = Timer::default();
        let start = Instant::now();
        timer.set(Duration::from_secs(1));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await.is_pending());
        timer.set(Duration::from_secs(3));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn expires_in_a_task_that_has_used_up_its_budget() {
        let mut timer = Timer::default();
        timer.set(Duration::from_secs(1));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await.is_pending());
        tokio::time::advance(Duration::from_secs(2)).await;
        let expired = poll_fn(|cx| {
            while coop::has_budget_remaining() {
                let _ = pin!(coop::consume_budget()).poll(cx);
            }
            Poll::Ready(timer.poll_expired(cx))
        });
        assert!(expired.await.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_wins_over_the_armed_one() {
        let mut timer = Timer::default();
        let start = Instant::now();
        timer.set(Duration::from_secs(60));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await.is_pending());
        timer.set(Duration::from_secs(1));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn never_expires_without_a_deadline() {
        let mut timer = Timer::default();
        timer.set(Duration::from_secs(1));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await.is_pending());
        timer.clear();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await.is_pending());
    }
}
