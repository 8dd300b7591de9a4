//! What the gateway tells of itself: access log, metrics, admin API.
