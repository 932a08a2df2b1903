// The target SilhouetteVOC21 of the Swift package: its resource is silhouette-voc21.safetensors. See People.swift.
