//! Images to tensors, tensors to answers.
