"""Runs as W3C PROV: vocabulary, records, the streaming PROV-JSON writer, the rules."""
