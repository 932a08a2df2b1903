//! On-device segmentation.
#![forbid(unsafe_code)]
