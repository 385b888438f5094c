"""Elastic rendezvous for torch."""
