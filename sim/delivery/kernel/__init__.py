"""The compiled engine's kernel: plain functions of integers and arrays, which run as they are or compiled."""
