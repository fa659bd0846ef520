"""What goes on inside recurrent layers: gradients by distance, gates, units, attention, occlusion.

Everything is measured through ``Cell.step``, so it works for every cell, a third party's too. A
model is copied before it is looked at, and never changed.
"""
