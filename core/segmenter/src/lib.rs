//! On-device segmentation.
