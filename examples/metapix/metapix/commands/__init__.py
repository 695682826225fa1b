"""The commands of `metapix`, a file for each chapter of its story."""
