//! scikit-learn.
