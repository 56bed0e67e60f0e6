# Both images are upgraded under load.
"$here/images.sh" "$bin" "$kakehi" "$sozu" "$tag-next"
load "$url/" app.example
chart --set image.tag="$tag-next" --set sozuImage.tag="$tag-next"
upgraded() { kubectl -n $space get deployment kakehi-web -o 'jsonpath={.spec.template.spec.containers[*].image}' | grep -q "$tag-next.*$tag-next"; }
eventually 60 "the edge has the images of the new release" upgraded
rolled $space kakehi-web
unload "operator and edge upgraded"
