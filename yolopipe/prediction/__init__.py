"""`yolopipe predict`: a trained network on images, videos and cameras."""
