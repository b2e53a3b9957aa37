"""HTTP of the control side: who may ask, what is asked, and how it is answered."""
