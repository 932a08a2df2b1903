//! Camera frames to the network's input rows, logits to masks, masks to pictures. No candle here.
#![forbid(unsafe_code)]
