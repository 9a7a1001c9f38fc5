//! The sinks as the worker sees them: what arrives where, and what trouble costs.
