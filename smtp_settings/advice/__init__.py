"""Advice about a profile and its From domain. It never blocks anything."""
