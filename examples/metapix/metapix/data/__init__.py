"""Clips: drawn people, real videos, and the folder format both are kept in."""
