"""Policies that keep one slow or broken dependency from dragging down the rest."""
